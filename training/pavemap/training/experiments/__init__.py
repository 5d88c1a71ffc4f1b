"""The paper's table and studies as commands that anyone can run again: `pavemap experiment NAME`."""
