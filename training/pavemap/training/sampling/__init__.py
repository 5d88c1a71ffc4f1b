"""What a network is shown: patches and crops of labelled images, changed at random."""
