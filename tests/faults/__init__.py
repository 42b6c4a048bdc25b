"""Every place at which a disk may fail or a process may die, counted and tried."""
