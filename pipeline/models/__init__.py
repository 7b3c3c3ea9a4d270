"""Models: folder, configuration, weights, sites; what is stored is what was hashed."""
