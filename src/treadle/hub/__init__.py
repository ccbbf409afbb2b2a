"""Real-time rooms: fan-out, presence, history and back-pressure, on any asyncio loop."""
