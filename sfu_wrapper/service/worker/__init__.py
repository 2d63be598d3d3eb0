"""Recording service: take segments from the queue and render their recordings."""
