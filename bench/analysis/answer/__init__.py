"""Three answers about the methods of a page: do they need less memory, are they faster, are they as accurate?"""
