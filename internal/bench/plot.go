package main

import (
	"fmt"
	"html"
	"slices"
	"strings"
)

// bar is one bar of the plot: a contender's cost, as a multiple of its floor.
type bar struct {
	group, name string
	ratio       float64
	ours        bool
	limit       float64 // our target; 0 is none
}

// bar notes a bar.
func (r *report) bar(b bar) { r.bars = append(r.bars, b) }

const (
	barHeight   = 18
	barLeft     = 270
	barRight    = 880
	figureWidth = 28
	plotWidth   = 960
	plotStroke  = "#5b6b82"
)

// plot draws the bars as SVG, a group below the other, each with an axis of its own.
func (r *report) plot() string {
	var b strings.Builder
	y := 34
	for _, group := range r.groups() {
		y = drawGroup(&b, group, y) + 22
	}
	fmt.Fprintf(&b, `<text x="16" y="%d" fill="%s">Dashed: the floor. Red: what we have promised. Shorter is better.</text>`+"\n", y, plotStroke)
	y += 16
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%[1]d" height="%[2]d" viewBox="0 0 %[1]d %[2]d" role="img" font-family="system-ui, sans-serif" font-size="12">
<title>What Twofold and its peers cost, as multiples of the floor</title>
<rect width="%[1]d" height="%[2]d" fill="#ffffff"/>
%[3]s</svg>
`, plotWidth, y, b.String())
}

func (r *report) groups() (groups [][]bar) {
	for _, b := range r.bars {
		if n := len(groups); n > 0 && groups[n-1][0].group == b.group {
			groups[n-1] = append(groups[n-1], b)
			continue
		}
		groups = append(groups, []bar{b})
	}
	return groups
}

// drawGroup draws bars from y on and returns where the next group may begin.
func drawGroup(w *strings.Builder, group []bar, y int) int {
	most := 1.0
	for _, b := range group {
		most = max(most, b.ratio, b.limit)
	}
	at := func(ratio float64) float64 { return barLeft + (barRight-barLeft)*ratio/most }
	fmt.Fprintf(w, `<text x="16" y="%d" font-weight="bold" fill="#16202f">%s</text>`+"\n", y, html.EscapeString(group[0].group))
	top := y + 8
	for _, b := range group {
		y += barHeight + 4
		fill := "#b8c2d0"
		if b.ours {
			fill = "#1f6feb"
		}
		fmt.Fprintf(w, `<text x="%d" y="%d" text-anchor="end" fill="#16202f">%s</text>`, barLeft-8, y, html.EscapeString(strings.Trim(b.name, "*")))
		fmt.Fprintf(w, `<rect x="%d" y="%d" width="%.1f" height="%d" rx="2" fill="%s"/>`, barLeft, y-13, at(b.ratio)-barLeft, barHeight, fill)
		lines := []float64{at(1)}
		if b.limit > 0 {
			lines = append(lines, at(b.limit))
		}
		fmt.Fprintf(w, `<text x="%.1f" y="%d" fill="#16202f">%.2f</text>`+"\n", figureAt(at(b.ratio), lines), y, b.ratio)
		if b.limit > 0 {
			fmt.Fprintf(w, `<line x1="%.1[1]f" x2="%.1[1]f" y1="%[2]d" y2="%[3]d" stroke="#d1242f" stroke-width="2"/>`+"\n", at(b.limit), y-15, y+7)
		}
	}
	fmt.Fprintf(w, `<line x1="%.1[1]f" x2="%.1[1]f" y1="%[2]d" y2="%[3]d" stroke="%[4]s" stroke-dasharray="3 3"/>`+"\n", at(1), top, y+8, plotStroke)
	return y + barHeight
}

// figureAt is where the figure of a bar stands that ends at end: right of it, and of each line that would cross the figure.
func figureAt(end float64, lines []float64) float64 {
	x := end + 6
	for _, line := range slices.Sorted(slices.Values(lines)) {
		if line > x-4 && line < x+figureWidth {
			x = line + 6
		}
	}
	return x
}
