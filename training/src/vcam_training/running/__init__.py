"""What a run needs besides its config: device, network with its optimizer, epochs, trackers."""
