// Command pictures draws the pictures of the documentation, as SVG that follows
// the reader's light or dark theme.
//
//	go run -C tools ./pictures        # or make pictures
//
// A test fails if docs/pictures is not as this program draws it.
package main

import (
	"log"
	"os"
	"path/filepath"
)

// dir is where the pictures are, seen from the tools module.
const dir = "../docs/pictures"

// pictures are all pictures, by file name.
var pictures = map[string]func() string{
	"overview.svg":     overview,
	"packages.svg":     packages,
	"trust-window.svg": trustWindow,
}

func main() {
	log.SetFlags(0)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		log.Fatal(err)
	}
	for name, draw := range pictures {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(draw()), 0o666); err != nil {
			log.Fatal(err)
		}
	}
}
