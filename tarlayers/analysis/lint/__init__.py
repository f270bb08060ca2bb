"""What in an image's layers breaks engines, or makes them show different trees; `report.lint_image` is the way in."""
