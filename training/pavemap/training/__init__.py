"""The crack network: patches, the Ray Train loop, metrics, model cards and inference."""
