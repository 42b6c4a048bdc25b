"""What a plugin must offer, how it is named and set, and how a name becomes one."""
