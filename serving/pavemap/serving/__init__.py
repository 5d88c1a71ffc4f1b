"""Ray Serve: the Detector that finds cracks in chips and the Surveyor that works through cells."""
