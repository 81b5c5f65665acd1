package main

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"
)

// TestReportDecides: a missed target fails the run; with -counts only if it can be counted.
func TestReportDecides(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		options          options
		timeMet, callMet bool
		want             bool
		last             string
	}{
		"all met":                               {options{}, true, true, true, "2 of 2 targets met\n"},
		"a time is missed":                      {options{}, false, true, false, "1 of 2 targets met\n"},
		"a count is missed":                     {options{}, true, false, false, "1 of 2 targets met\n"},
		"a time is missed, and counts decide":   {options{counts: true}, false, true, true, "1 of 1 targets met\n"},
		"a count is missed, and counts decide":  {options{counts: true}, true, false, false, "0 of 1 targets met\n"},
		"nothing is missed, and counts decide ": {options{counts: true}, true, true, true, "1 of 1 targets met\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			r := newReport(&out, row.options)
			if cell := r.time("1", "≤ 1.5", 1.25, "%.2f", row.timeMet); !strings.HasPrefix(cell, "**1.25** (m") {
				t.Errorf("cell %q", cell)
			}
			r.count("1", "1 call", 1, row.callMet)
			if got := r.end(); got != row.want || !strings.HasSuffix(out.String(), "\n"+row.last) {
				t.Errorf("%v, and the report ends %q", got, out.String()[max(0, out.Len()-60):])
			}
		})
	}
}

// TestRatioIsOfOneRound: a round that was slow for all changes nothing.
func TestRatioIsOfOneRound(t *testing.T) {
	t.Parallel()
	floor := sample{ns: []float64{10, 100, 10, 10, 1000}}
	ours := sample{ns: []float64{12, 120, 12, 30, 1200}}
	if got := ours.over(floor); got != 1.2 {
		t.Errorf("ratio %v, want 1.2", got)
	}
	if got := median([]float64{4, 1, 3, 2}); got != 2.5 {
		t.Errorf("median %v, want 2.5", got)
	}
}

// TestPlotIsXML: with names as they occur.
func TestPlotIsXML(t *testing.T) {
	t.Parallel()
	r := newReport(io.Discard, options{})
	r.bar(bar{group: "A & B (× the floor)", name: `peer <"1">`, ratio: 2.5})
	r.bar(bar{group: "A & B (× the floor)", name: "**ours**", ratio: 1.1, ours: true, limit: 1.25})
	r.bar(bar{group: "C", name: "peer", ratio: 0.5})
	text := r.plot()
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v in %s", err, text)
		}
	}
	if strings.Count(text, "<rect") != 4 || strings.Contains(text, "*") || strings.Contains(text, "NaN") {
		t.Errorf("plot %s", text)
	}
}

// TestFiguresAreReadable: no line lies over a figure, wherever a result comes to lie.
func TestFiguresAreReadable(t *testing.T) {
	t.Parallel()
	number := func(e xml.StartElement, name string) float64 {
		for _, a := range e.Attr {
			if a.Name.Local == name {
				v, _ := strconv.ParseFloat(a.Value, 64)
				return v
			}
		}
		return math.NaN()
	}
	for ratio := 0.5; ratio < 3; ratio += 0.01 {
		r := newReport(io.Discard, options{})
		r.bar(bar{group: "A", name: "peer", ratio: 3})
		r.bar(bar{group: "A", name: "ours", ratio: ratio, ours: true, limit: 1.25})
		var figures, lines []xml.StartElement
		for d := xml.NewDecoder(strings.NewReader(r.plot())); ; {
			token, err := d.Token()
			if err != nil {
				break
			}
			switch e, ok := token.(xml.StartElement); {
			case ok && e.Name.Local == "line":
				lines = append(lines, e)
			case ok && e.Name.Local == "text" && number(e, "x") > barLeft:
				figures = append(figures, e)
			}
		}
		if len(figures) != 2 || len(lines) != 2 {
			t.Fatalf("%d figures and %d lines", len(figures), len(lines))
		}
		for _, f := range figures {
			for _, l := range lines {
				x, y, at := number(f, "x"), number(f, "y"), number(l, "x1")
				if at > x-2 && at < x+figureWidth && number(l, "y1") < y && number(l, "y2") > y-11 {
					t.Errorf("ratio %.2f: a line at %.1f crosses the figure at %.1f", ratio, at, x)
				}
			}
		}
	}
}
