// Command browser looks at the page of package debug as a person does: in
// headless Chromium, of examples/debugpage while it runs, of an outage, of
// names that mean harm and of 16,384 slots. It checks in the live DOM that the
// values change by themselves, that nothing is blocked or runs that should not,
// and that nothing sticks out on a narrow screen; and leaves screenshots in
// .cache/browser, for a person to look at.
//
// Run it by `make browser`, at the top of the tree. As root it installs
// Debian's chromium where there is none.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/chromedp/chromedp"
)

// out is where the screenshots are left.
const out = ".cache/browser"

// patience is for how long something is waited for that comes at once on a
// machine that has time.
const patience = 90 * time.Second

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "browser:", err)
		os.Exit(1)
	}
}

func run() error {
	if _, err := os.Stat("go.work"); err != nil {
		return fmt.Errorf("not at the top of the tree: %w", err)
	}
	chromium, err := chromium()
	if err != nil {
		return err
	}
	// Old pictures must not pass for new ones.
	if err := errors.Join(os.RemoveAll(out), os.MkdirAll(out, 0o755)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	b, closeBrowser, err := start(ctx, chromium)
	if err != nil {
		return err
	}
	defer closeBrowser()
	var errs []error
	for _, look := range []struct {
		name string
		look func(*browser) error
	}{
		{"the running example changes by itself", example},
		{"an outage is told, with what was last read", outage},
		{"names that mean harm are only shown", hostile},
		{"16,384 slots are drawn", many},
	} {
		began := time.Now()
		err := look.look(b)
		// A page that is left there would load itself from a server that is gone.
		_ = b.do(chromedp.Navigate("about:blank"))
		_ = b.untroubled()
		word := "ok  "
		if err != nil {
			word = "FAIL"
			errs = append(errs, fmt.Errorf("%s: %w", look.name, err))
		}
		fmt.Printf("%s %s (%.1f s)\n", word, look.name, time.Since(began).Seconds())
	}
	pictures, err := filepath.Glob(out + "/*.png")
	fmt.Println("look at:", pictures)
	return errors.Join(append(errs, err)...)
}

// chromium returns the program, and installs it if there is none.
func chromium() (string, error) {
	find := func() (string, error) {
		for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
			if path, err := exec.LookPath(name); err == nil {
				return path, nil
			}
		}
		return "", errors.New("there is no chromium")
	}
	path, missing := find()
	if missing == nil {
		return path, nil
	}
	if os.Geteuid() != 0 {
		return "", fmt.Errorf("%w; as root: apt-get install chromium", missing)
	}
	for _, args := range [][]string{
		{"apt-get", "-q", "update"},
		{"apt-get", "-q", "-y", "--no-install-recommends", "install", "chromium"},
	} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if text, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%w; running %q: %w\n%s", missing, args, err, text)
		}
	}
	return find()
}
