"""A network between a client and a server that breaks: nothing is passed on, nobody is told."""

import select
import socket
import threading


class Proxy:
    """Passes on what it is sent until it falls silent; it never closes a connection by itself."""

    def __init__(self, port: int) -> None:
        self.silent = threading.Event()
        self._port, self._ended = port, threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        pairs = {}
        while not self._ended.is_set():
            waiting = [self._listener] if self.silent.is_set() else [self._listener, *pairs]
            for ready in select.select(waiting, [], [], 0.05)[0]:
                if ready is self._listener:
                    near, far = self._listener.accept()[0], socket.create_connection(("127.0.0.1", self._port))
                    pairs |= {near: far, far: near}
                elif ready in pairs and not self.silent.is_set():
                    self._pass_on(ready, pairs)
        for each in (self._listener, *pairs):
            each.close()

    def _pass_on(self, ready, pairs) -> None:
        try:
            content = ready.recv(65536)
            pairs[ready].sendall(content)
        except (ConnectionResetError, BrokenPipeError):  # who gave up has closed its end
            content = b""
        if not content:
            other = pairs.pop(ready)
            pairs.pop(other)
            ready.close()
            other.close()

    def close(self) -> None:
        self._ended.set()
