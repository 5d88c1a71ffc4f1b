"""The lines of single cells become cracks that run over any number of cells."""
