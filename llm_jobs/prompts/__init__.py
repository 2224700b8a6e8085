"""The versioned prompt library, and rows rendered into prompts."""
