"""Is the database ready: reachable, safe, of the right revision? And if not, why?"""
