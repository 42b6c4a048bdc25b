"""What runs us: device, memory, weights, hub, files and where ours lie."""
