"""What runs a model: torch, which runs the network that was trained, or onnxruntime, which runs an exported file.

A runtime's library is imported when a model is opened that needs it, and not before.
"""
