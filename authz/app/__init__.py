"""The program: settings, composition, and the operator's side (metrics, audit file, admin listener)."""
