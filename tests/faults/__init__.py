"""`make faults`: the service under kills, storms and failovers, judged by a ledger of the client.

Each scenario has a control: the same with the guard that it tests switched off, which must go red.
"""
