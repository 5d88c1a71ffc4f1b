"""What the API takes and answers, field by field, with examples: the contract that OpenAPI shows."""
