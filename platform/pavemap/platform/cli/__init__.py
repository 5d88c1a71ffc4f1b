"""The command line: one module a group of commands, what is heavy imported only when it is used."""
