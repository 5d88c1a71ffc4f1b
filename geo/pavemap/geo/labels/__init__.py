"""What is known of the ground, as label masks and labelled chips."""
