"""Where frames come from: a film, a folder of frames, or a camera's stream that never ends."""
