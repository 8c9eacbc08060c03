"""The page a person reads about one conversion: what was found, apart from how it is shown.

`journal` is filled while a conversion runs, `collect` looks at what came of it, `page` shows it. Nothing is
re-exported: a conversion without a report needs the journal and no templates.
"""
