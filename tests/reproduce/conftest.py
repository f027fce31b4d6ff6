from tiny_reproduction import reproduced

__all__ = ["reproduced"]
