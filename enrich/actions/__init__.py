"""Act: rules, write-back to tickets, notifications, and the guard against our own echo.

Reading order: settings (what a user types), rules (what would happen and why), adapters (how each
provider is called), outbound (the one way out of the machine), worker (durable, one effect),
loop_guard (our own writes coming back).
"""
