// Command bench measures Quorate beside the stock recipes of its stores, on real
// clusters of three on this machine, prints what it finds, and writes it as a
// page, with the raw figures in a CSV file beside it.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/pprof"
	"strings"

	"github.com/quorate/quorate/integration/bench"
)

func main() {
	stores := flag.String("stores", "", "which of "+strings.Join(bench.Stores(), ", ")+"; all by default")
	rows := flag.String("rows", "", "which of "+strings.Join(bench.Rows(), ", ")+"; all by default")
	rounds := flag.Int("rounds", 5, "how often what takes seconds is measured")
	page := flag.String("page", "", "where to write the page, and a CSV file of that name beside it; by default the page is printed")
	profile := flag.String("profile", "", "where to write a CPU profile of this process")
	smoke := flag.Bool("smoke", false, "measure next to nothing, to see that it can be done")
	flag.Parse()
	slog.SetDefault(slog.New(slog.DiscardHandler)) // thousands of Stores would log each session
	config := bench.Config{Stores: list(*stores), Rows: list(*rows), Rounds: *rounds, Smoke: *smoke, Progress: os.Stderr}
	if err := run(config, *page, *profile); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(config bench.Config, page, profile string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if profile != "" {
		f, err := os.Create(profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	report, err := bench.Run(ctx, config)
	if report == nil {
		return err
	}
	fmt.Print(report.Page())
	if page == "" {
		return err
	}
	var raw bytes.Buffer
	writing := report.WriteCSV(&raw)
	if writing == nil {
		writing = os.WriteFile(page, []byte(report.Page()), 0o644)
	}
	if writing == nil {
		writing = os.WriteFile(strings.TrimSuffix(page, ".md")+".csv", raw.Bytes(), 0o644)
	}
	return errors.Join(writing, err)
}

// list splits at commas and spaces.
func list(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}
