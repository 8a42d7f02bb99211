package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser is a tab of a headless Chromium.
type browser struct {
	ctx context.Context

	mu       sync.Mutex
	troubles []string // what the browser complained about
}

func start(ctx context.Context, program string) (*browser, func(), error) {
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.DisableGPU)
	ctx, cancelAllocator := chromedp.NewExecAllocator(ctx, options...)
	ctx, cancel := chromedp.NewContext(ctx)
	b := &browser{ctx: ctx}
	err := chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *log.EventEntryAdded: // a violation of the page's policy is one
			b.trouble(e.Entry.Text)
		case *runtime.EventExceptionThrown:
			b.trouble(e.ExceptionDetails.Text)
		case *runtime.EventConsoleAPICalled:
			b.trouble(fmt.Sprint("a script wrote to the console: ", e.Type))
		}
	})
	end := func() { cancel(); cancelAllocator() }
	if err != nil {
		end()
		return nil, nil, fmt.Errorf("start %s: %w", program, err)
	}
	return b, end, nil
}

func (b *browser) trouble(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.troubles = append(b.troubles, text)
}

// untroubled returns what the browser complained about since the last call.
func (b *browser) untroubled() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.troubles) > 0 {
		troubles := b.troubles
		b.troubles = nil
		return fmt.Errorf("the browser complains: %q", troubles)
	}
	return nil
}

// do runs actions, which have a minute.
func (b *browser) do(actions ...chromedp.Action[chromedp.Void]) error {
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	return chromedp.Do(ctx, actions...)
}

// eval returns what an expression comes to in the live page.
func eval[T any](b *browser, expression string) (T, error) {
	return get(b, chromedp.Evaluate[T](expression))
}

// get runs an action that returns a value.
func get[T any](b *browser, action chromedp.Action[T]) (T, error) {
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	return chromedp.Run(ctx, action)
}

// until waits until an expression is true. Between two pages it cannot be asked.
func (b *browser) until(what, expression string, within time.Duration) error {
	var last error
	for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		var yes bool
		if yes, last = eval[bool](b, expression); last == nil && yes {
			return nil
		}
	}
	return fmt.Errorf("not within %v: %s (%w)", within, what, errOr(last))
}

func errOr(err error) error {
	if err == nil {
		return fmt.Errorf("the page was there")
	}
	return err
}

// kind is a way in which a page may be seen.
type kind struct {
	name, scheme string
	width        int64
}

var (
	light      = kind{"light", "light", 1280}
	dark       = kind{"dark", "dark", 1280}
	narrow     = kind{"narrow", "light", 390}
	narrowDark = kind{"narrow-dark", "dark", 390}
)

// pictures takes screenshots of what is at a URL, in each of these kinds, and
// checks that nothing sticks out. The page must not load itself meanwhile.
func (b *browser) pictures(name, url string, kinds ...kind) error {
	for _, p := range kinds {
		_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: p.scheme}},
		})
		if err == nil {
			err = b.do(chromedp.EmulateViewport(p.width, 800), chromedp.Navigate(url))
		}
		var picture []byte
		if err == nil {
			picture, err = get(b, chromedp.FullScreenshot(100))
		}
		if err != nil {
			return fmt.Errorf("picture %s-%s: %w", name, p.name, err)
		}
		if err := os.WriteFile(filepath.Join(out, name+"-"+p.name+".png"), picture, 0o644); err != nil {
			return err
		}
		over, err := eval[int](b, "document.documentElement.scrollWidth - document.documentElement.clientWidth")
		if err != nil {
			return err
		}
		if over > 0 {
			return fmt.Errorf("%s-%s: %d pixels stick out on the right", name, p.name, over)
		}
		styled, err := eval[string](b, "getComputedStyle(document.body).backgroundColor")
		if err != nil {
			return err
		}
		if dark := styled == "rgb(20, 23, 27)"; dark != (p.scheme == "dark") {
			return fmt.Errorf("%s-%s: the background is %s: the style sheet is not in force", name, p.name, styled)
		}
	}
	return b.untroubled()
}
