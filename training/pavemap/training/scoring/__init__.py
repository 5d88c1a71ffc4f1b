"""How well a model does: on labelled images, in crack length, by calibration, by eye."""
