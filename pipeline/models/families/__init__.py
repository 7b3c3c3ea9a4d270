"""The families of models, a file each, and the checks of fields that several have."""
