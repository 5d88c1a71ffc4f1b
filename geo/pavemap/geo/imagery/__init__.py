"""What a survey's imagery is: untrusted rasters checked, read window by window, joined to one mosaic."""
