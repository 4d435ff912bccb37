"""The steps between the schema's versions."""
