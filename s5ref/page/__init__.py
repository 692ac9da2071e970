"""Pages that need nothing else, no network and no script: HTML, one style, drawings as inline SVG."""
