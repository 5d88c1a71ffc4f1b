"""The HTTP API: networks, surveys, orthophotos, results, training jobs; errors are RFC 9457 problems."""
