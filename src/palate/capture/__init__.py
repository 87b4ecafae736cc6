"""What is really in force: live objects, not only what was written down."""
