"""`python -m samecar` is the command `samecar`; `torchrun -m samecar` is it in several processes."""

from samecar.cli.main import main

if __name__ == "__main__":
    main()
