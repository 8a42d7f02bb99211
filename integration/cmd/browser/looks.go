package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/chromedp/chromedp"
)

// example looks at examples/debugpage while it runs.
func example(b *browser) (err error) {
	url, stop, err := startExample(b.ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if err := b.do(chromedp.EmulateViewport(1280, 800), chromedp.Navigate(url)); err != nil {
		return err
	}
	// From here on nothing but the page itself loads it again.
	const ready = `document.querySelector(".leader") && document.querySelector(".epoch") && document.querySelectorAll("svg path").length > 3`
	if err := b.until("a leader, and slots of several members", "!!("+ready+")", patience); err != nil {
		return err
	}
	for what, value := range map[string]string{
		"the time of the reads":          `document.querySelector("#at").dateTime`,
		"the trust left":                 `document.querySelector("#trust").textContent`,
		"the value of the meter":         `String(document.querySelector("meter").value)`,
		"the value of the counter":       `document.querySelectorAll(".value")[0].textContent`,
		"the total of the tally":         `document.querySelectorAll(".value")[1].textContent`,
		"the epoch of the partition":     `document.querySelector(".epoch").textContent`,
		"the map of the slots":           `[...document.querySelectorAll("svg path")].map(p => p.getAttribute("d")).join()`,
		"the number of members":          `document.querySelector(".group .num").textContent`,
		"the time at which it was begun": `String(performance.timeOrigin)`,
	} {
		var before string
		if err := b.until(what+" is there", "typeof ("+value+") === 'string'", patience); err != nil {
			return err
		}
		for before == "" && b.ctx.Err() == nil { // between two pages there is none
			before, _ = eval[string](b, value)
		}
		if err := b.until(what+" changes from "+fmt.Sprintf("%.40q", before), fmt.Sprintf("%s !== %q", value, before), patience); err != nil {
			return err
		}
	}
	if err := b.until("slots on the move are marked", `!!document.querySelector("svg .moving")`, patience); err != nil {
		return err
	}
	// A viewer may stop it.
	if err := b.do(chromedp.Click(`a[href="?refresh=off"]`)); err != nil {
		return fmt.Errorf("pausing: %w", err)
	}
	if err := b.until("a page that does not load itself", `!!document.querySelector('a[href="?"]') && !document.querySelector("meta[http-equiv]")`, 30*time.Second); err != nil {
		return err
	}
	if err := b.untroubled(); err != nil {
		return err
	}
	return b.pictures("example", url+"?refresh=off", light, dark, narrow, narrowDark)
}

// startExample starts the example, and returns where its page is.
func startExample(ctx context.Context) (url string, stop func() error, err error) {
	dir, err := os.MkdirTemp("", "quorate-browser-")
	if err != nil {
		return "", nil, err
	}
	exe := filepath.Join(dir, "debugpage")
	if text, err := exec.CommandContext(ctx, "go", "build", "-C", "examples", "-o", exe, "./debugpage").CombinedOutput(); err != nil {
		return "", nil, fmt.Errorf("build: %w\n%s", err, text)
	}
	cmd := exec.CommandContext(ctx, exe, "-listen", "127.0.0.1:0", "-restart", "4s")
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() error {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
		return errors.Join(cmd.Wait(), os.RemoveAll(dir))
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("the example did not say where its page is: %w", err), stop())
	}
	return strings.TrimSpace(line), stop, nil
}
