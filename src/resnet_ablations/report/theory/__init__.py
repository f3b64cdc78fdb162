"""The papers' theory, measured in a sweep's runs: gradient by depth, size of F, gates, and where errors come from."""
