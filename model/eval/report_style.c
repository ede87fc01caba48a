#include "model/eval/report_parts.h"

const char *const report_style[] = {
    "<style>\n",
    ":root{--ink:#1a2430;--soft:#5b6875;--line:#d9dfe6;--pale:#f5f7fa;--mark:#0b5c8f}\n",
    "*{box-sizing:border-box}\n",
    "body{margin:0 auto;padding:40px 32px 64px;max-width:1080px;background:#fff;color:var(--ink);"
    "font:15px/1.5 'Inter','Segoe UI','Helvetica Neue',Arial,'DejaVu Sans',sans-serif;"
    "font-variant-numeric:tabular-nums}\n",
    "h1{font-size:27px;line-height:1.2;margin:0 0 4px;letter-spacing:-.01em}\n",
    "h2{font-size:19px;margin:44px 0 12px;padding-bottom:6px;border-bottom:1px solid "
    "var(--line)}\n",
    "h3{font-size:15px;margin:26px 0 8px}\n",
    "p{margin:8px 0;max-width:76ch}\n",
    ".sub{color:var(--soft);margin:0 0 18px;max-width:none;overflow-wrap:anywhere}\n",
    ".use{border:1px solid #d9a441;border-left-width:5px;background:#fdf8ec;padding:9px 14px;"
    "margin:0 0 10px;border-radius:4px;max-width:none}\n",
    ".alarm{border-color:#c2410c;background:#fdf1ec}\n",
    ".notes{border:1px solid var(--line);border-left-width:5px;background:var(--pale);"
    "padding:9px 14px 9px 32px;margin:0 0 10px;border-radius:4px}\n",
    ".cards{display:grid;grid-template-columns:repeat(4,1fr);gap:12px;margin:20px 0 8px}\n",
    ".card{border:1px solid var(--line);border-radius:8px;padding:12px 14px "
    "10px;background:#fff}\n",
    ".card h3{margin:0;font-size:12.5px;font-weight:600;color:var(--soft)}\n",
    ".card .big{font-size:27px;font-weight:650;line-height:1.25;color:var(--mark);"
    "letter-spacing:-.01em}\n",
    ".card .ci{display:block;font-size:12.5px}\n",
    ".card .big .none{color:#9aa5b1}\n",
    ".card .of{display:block;font-size:12px;color:var(--soft)}\n",
    ".ci{color:var(--soft);font-size:.86em;white-space:nowrap}\n",
    ".none{color:#9aa5b1}\n",
    ".scroll+.scroll{margin-top:22px}\n",
    "table{border-collapse:collapse;width:100%;font-size:13.5px;margin:8px 0 4px}\n",
    "caption{text-align:left;font-weight:600;padding:0 0 6px;color:var(--ink)}\n",
    "th{font-weight:600;text-align:right;padding:6px 8px;vertical-align:bottom}\n",
    "td{text-align:right;padding:6px 8px;vertical-align:top}\n",
    "th:first-child,td:first-child{text-align:left}\n",
    ".of3 th{border:0;padding-bottom:0;color:var(--soft)}\n",
    ".of3 th[colspan]{text-align:center}\n",
    "thead th{border-bottom:1.5px solid var(--ink);font-size:12.5px}\n",
    "tbody tr{border-bottom:1px solid var(--line)}\n",
    "tbody tr.all{border-top:1.5px solid var(--ink)}\n",
    "tbody th{font-weight:500;vertical-align:top}\n",
    "td .ci{display:block}\n",
    ".note,figcaption{color:var(--soft);font-size:12.5px;margin:6px 0 0;max-width:none}\n",
    ".facts th{width:220px;color:var(--soft);vertical-align:top}\n",
    ".facts td{text-align:left;overflow-wrap:anywhere}\n",
    ".two{display:grid;grid-template-columns:1fr 1fr;gap:22px 30px;align-items:start;"
    "margin:16px 0}\n",
    "figure{margin:0;break-inside:avoid;min-width:0}\n",
    "figure svg{display:block;width:100%;height:auto}\n",
    "svg text{fill:var(--ink);font-family:inherit}\n",
    "svg .title{font-size:14px;font-weight:600}\n",
    "svg .tick{font-size:11px;fill:var(--soft)}\n",
    "svg .label{font-size:12px}\n",
    "svg .row{font-size:12px}\n",
    "svg .grid{stroke:#e8ecf1;stroke-width:1;fill:none}\n",
    "svg .frame{fill:none;stroke:#7d8894;stroke-width:1}\n",
    "ul.legend{list-style:none;margin:6px 0 0 44px;padding:0;font-size:12.5px;line-height:1.55}\n",
    "ul.legend svg{display:inline-block;width:26px;height:10px;margin-right:8px}\n",
    ".heat{table-layout:fixed}\n",
    ".heat thead th{border:0;text-align:center;font-weight:600;padding:4px 2px;line-height:1.25}\n",
    ".heat tbody tr{border:0}\n",
    ".heat tbody th{padding:4px 10px 4px 0;vertical-align:middle}\n",
    ".heat th:first-child{width:23%}\n",
    ".heat tbody td{text-align:center;vertical-align:middle;border:2px solid #fff;padding:10px 2px;"
    "height:78px}\n",
    ".heat td b{display:block;font-size:15px;font-weight:650;line-height:1.2}\n",
    ".heat td small{font-size:11.5px;opacity:.9}\n",
    ".heat.large tbody td{height:96px}\n",
    ".heat td.sum{background:var(--pale)}\n",
    ".gallery{display:grid;grid-template-columns:repeat(4,1fr);gap:14px}\n",
    ".gallery img{width:100%;display:block;border-radius:4px;background:#000}\n",
    ".gallery figcaption{margin-top:4px;overflow-wrap:anywhere;line-height:1.35}\n",
    ".gallery b{color:var(--ink);font-weight:600}\n",
    "footer{margin-top:44px;padding-top:10px;border-top:1px solid var(--line);"
    "color:var(--soft);font-size:12.5px}\n",
    "dt{font-weight:600;margin-top:8px}dd{margin:0 0 0 18px;max-width:86ch}\n",
    "@media screen and (max-width:760px){body{padding:20px 14px}.two{grid-template-columns:1fr}"
    ".cards,.gallery{grid-template-columns:1fr 1fr}.scroll{overflow-x:auto}}\n",
    "@media print{body{max-width:none;padding:0;font-size:9.5pt;"
    "print-color-adjust:exact;-webkit-print-color-adjust:exact}"
    "table{font-size:11.5px}thead th{font-size:11px}th,td{padding:5px 5px}"
    "ul.legend,.note,figcaption,.card h3,.card .ci,.card .of{font-size:11px}"
    "ul.legend{margin-left:34px}.card .big{font-size:22px}.heat thead th{font-size:10px}"
    "h2,h3{break-after:avoid}table,.card,.use{break-inside:avoid}h2{margin-top:26px}}\n",
    "</style>\n",
    NULL,
};
