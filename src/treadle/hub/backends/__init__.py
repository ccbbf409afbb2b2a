"""The ways between the nodes of a hub: memory, Redis, NATS; `base.py` has the contract."""
