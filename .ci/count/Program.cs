using Proxy.Ci;

// The count of statements by folder, what it may be at most, and the methods that are too long. `./build.sh count` runs it at the repository's root.
var program = new StatementCount(Directory.GetCurrentDirectory());
var folders = program.ByFolder();
foreach (var (folder, count) in folders.OrderByDescending(row => row.Value)) Console.WriteLine($"{count,7}  {folder}");

var (budget, commit) = program.Budget;
var total = folders.Values.Sum();
Console.WriteLine($"{total,7}  in all; {budget} at most, as on {commit} ({total - budget:+0;-0;+0})");

var tooLong = program.LongerThan(80).ToArray();
foreach (var (file, name, lines) in tooLong) Console.WriteLine($"{file}: {name} has {lines} lines, more than 80");
return total > budget || tooLong.Length > 0 ? 1 : 0;
