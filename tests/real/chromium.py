class Chromium: pass
