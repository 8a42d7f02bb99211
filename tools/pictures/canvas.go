package main

import (
	"fmt"
	"html"
	"strings"
)

// canvas is an SVG that is being drawn. Lengths are in its own units, which are
// pixels at full size.
type canvas struct {
	width, height int
	title         string
	body          strings.Builder
}

// style has the colours of both themes. Elements name them by class.
const style = `
  text { font: 14px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328; }
  .small { font-size: 12px; } .soft { fill: #59636e; } .strong { font-weight: 600; }
  .middle { text-anchor: middle; } .end { text-anchor: end; }
  .box { fill: #f6f8fa; stroke: #818b98; stroke-width: 1.2; }
  .own { fill: #dafbe1; stroke: #1a7f37; stroke-width: 1.6; }
  .risk { fill: #fff1e5; stroke: #bc4c00; stroke-width: 1.2; }
  .store { fill: #ddf4ff; stroke: #0969da; stroke-width: 1.2; }
  .line { stroke: #59636e; stroke-width: 1.3; fill: none; }
  .dash { stroke-dasharray: 4 4; }
  .tip { fill: #59636e; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; } .soft { fill: #9198a1; }
    .box { fill: #151b23; stroke: #656c76; }
    .own { fill: #12261e; stroke: #3fb950; }
    .risk { fill: #2f1e12; stroke: #f0883e; }
    .store { fill: #10233f; stroke: #4493f8; }
    .line { stroke: #9198a1; } .tip { fill: #9198a1; }
  }
`

func newCanvas(width, height int, title string) *canvas {
	return &canvas{width: width, height: height, title: title}
}

// box draws a rectangle with a text in the middle.
func (c *canvas) box(class string, x, y, w, h int, lines ...string) {
	fmt.Fprintf(&c.body, "<rect class=%q x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"6\"/>\n", class, x, y, w, h)
	first := y + h/2 + 5 - (len(lines)-1)*9
	for i, line := range lines {
		more := "middle strong"
		if i > 0 {
			more = "middle small soft"
		}
		c.text(more, x+w/2, first+i*18, line)
	}
}

// text writes a line.
func (c *canvas) text(class string, x, y int, line string) {
	fmt.Fprintf(&c.body, "<text class=%q x=\"%d\" y=\"%d\">%s</text>\n", class, x, y, html.EscapeString(line))
}

// line draws a line.
func (c *canvas) line(class string, x1, y1, x2, y2 int) {
	fmt.Fprintf(&c.body, "<path class=\"line %s\" d=\"M%d %dL%d %d\"/>\n", class, x1, y1, x2, y2)
}

// arrow draws a line with a tip at its end.
func (c *canvas) arrow(x1, y1, x2, y2 int) {
	fmt.Fprintf(&c.body, "<path class=\"line \" d=\"M%d %dL%d %d\" marker-end=\"url(#tip)\"/>\n", x1, y1, x2, y2)
}

func (c *canvas) String() string {
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="%s">
<title>%s</title>
<style>%s</style>
<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" orient="auto-start-reverse"><path class="tip" d="M0 0L10 5L0 10z"/></marker></defs>
%s</svg>
`, c.width, c.height, c.width, c.height, html.EscapeString(c.title), html.EscapeString(c.title), style, c.body.String())
}
