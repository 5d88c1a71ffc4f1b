"""The networks, and the forms in which they read whole images."""
