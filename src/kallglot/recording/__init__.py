"""What was said and heard: mixing it down, rendering it to files of sound, and the shelf on which those lie."""
