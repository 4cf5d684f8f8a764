words = []
