"""How strong is each working relationship now, and does it show signs of rupture?"""
