"""Entry for `python app.py` and for Hugging Face Spaces."""

from reweight.serving.entry import main

if __name__ == "__main__":
    main()
