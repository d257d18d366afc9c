"""The science of spherovem: pure functions on arrays, and the store that keeps their results."""
