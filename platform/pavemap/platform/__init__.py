"""What people meet: the HTTP API, the command line, maps, exports and settings."""
